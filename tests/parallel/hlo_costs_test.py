"""What the analysis counts in compiled programs, against what is known of them."""

import re
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxalign.parallel.mesh import SPLIT, make_mesh, split
from jaxalign.parallel.ring import visit_shards

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

from hlo_costs import Cost, Message, program_cost
from hlo_text import ArrayType, parse
from tpu_model import CHIPS, busiest_link, message_seconds, modelled

ROWS, WIDTH, CHIPS_IN_RING = 24, 40, 4


def ring_text(mesh, *, gather):
    """Every device multiplies its rows with those of all devices."""

    def local(x):
        def step(number, shard, block, best):
            return jnp.maximum(best, jnp.matmul(x, block.T).max(1))

        return visit_shards(step, jnp.full(x.shape[0], -jnp.inf, x.dtype), x, gather=gather)

    shape = jax.ShapeDtypeStruct((ROWS * mesh.size, WIDTH), jnp.float32, sharding=split(mesh))
    program = jax.shard_map(local, mesh=mesh, in_specs=SPLIT, out_specs=SPLIT)
    return jax.jit(program).lower(shape).compile().as_text()


@pytest.fixture(scope="module")
def ring():
    return ring_text(make_mesh(jax.devices()[:CHIPS_IN_RING]), gather=False)


def test_loops_count_as_often_as_they_turn(ring):
    cost = program_cost(parse(ring))
    assert cost.flops == CHIPS_IN_RING * 2 * ROWS**2 * WIDTH
    assert cost.sent == (CHIPS_IN_RING - 1) * ROWS * WIDTH * 4
    (message,) = cost.messages
    assert message.kind == "collective-permute"
    assert message.times == CHIPS_IN_RING - 1
    assert set(message.pairs) == {(1, 0), (2, 1), (3, 2), (0, 3)}


def test_turns_are_found_without_the_compilers_note(ring):
    stripped = re.sub(r'"known_trip_count":\{"n":"\d+"\},?', "", ring)
    assert stripped != ring
    assert program_cost(parse(stripped)).flops == program_cost(parse(ring)).flops


def test_gathered_blocks_are_sent_once():
    cost = program_cost(parse(ring_text(make_mesh(jax.devices()[:2]), gather=True)))
    assert cost.flops == 2 * 2 * ROWS**2 * WIDTH
    assert cost.sent == ROWS * WIDTH * 4


def test_loops_over_data_want_their_turns_and_take_them():
    def repeat(count, x):
        return jax.lax.fori_loop(jnp.int32(0), count, lambda _, y: jnp.matmul(x, y), x)

    shapes = jax.ShapeDtypeStruct((), jnp.int32), jax.ShapeDtypeStruct((16, 16), jnp.float32)
    program = parse(jax.jit(repeat).lower(*shapes).compile().as_text())
    with pytest.raises(ValueError, match="depend on data"):
        program_cost(program)
    assert program_cost(program, {"while": 5}).flops == 5 * 2 * 16**3


COUNTER_OF_TWO_WORDS = """\
HloModule jit_f, is_scheduled=true, num_partitions=8

%body (state: (u32[], u32[], f32[8])) -> (u32[], u32[], f32[8]) {
  %state = (u32[]{:T(128)}, u32[]{:T(128)}, f32[8]{0:T(128)}) parameter(0)
  %low = u32[]{:T(128)} get-tuple-element(%state), index=0
  %high = u32[]{:T(128)} get-tuple-element(%state), index=1
  %one = u32[]{:T(128)} constant(1)
  %next = u32[]{:T(128)} add(%low, %one)
  %wrapped = pred[]{:T(512)} compare(%next, %one), direction=LT
  %carry = u32[]{:T(128)} convert(%wrapped)
  %following = u32[]{:T(128)} add(%high, %carry)
  %x = f32[8]{0:T(128)} get-tuple-element(%state), index=2
  %y = f32[8]{0:T(128)S(1)} exponential(%x)
  ROOT %tuple = (u32[]{:T(128)}, u32[]{:T(128)}, f32[8]{0:T(128)}) tuple(%next, %following, %y)
}

%condition (state.1: (u32[], u32[], f32[8])) -> pred[] {
  %state.1 = (u32[]{:T(128)}, u32[]{:T(128)}, f32[8]{0:T(128)}) parameter(0)
  %low.1 = u32[]{:T(128)} get-tuple-element(%state.1), index=0
  %high.1 = u32[]{:T(128)} get-tuple-element(%state.1), index=1
  %zero = u32[]{:T(128)} constant(0)
  %bound = u32[]{:T(128)} constant(37)
  %below = pred[]{:T(512)} compare(%low.1, %bound), direction=LT
  %same = pred[]{:T(512)} compare(%high.1, %zero), direction=EQ
  ROOT %both = pred[]{:T(512)} and(%below, %same)
}

ENTRY %main (x.1: f32[8]) -> f32[8] {
  %x.1 = f32[8]{0:T(128)} parameter(0)
  %start = u32[]{:T(128)} constant(0)
  %tuple.1 = (u32[]{:T(128)}, u32[]{:T(128)}, f32[8]{0:T(128)}) tuple(%start, %start, %x.1)
  %loop = (u32[]{:T(128)}, u32[]{:T(128)}, f32[8]{0:T(128)}) \
while(%tuple.1), condition=%condition, body=%body
  ROOT %out = f32[8]{0:T(128)} get-tuple-element(%loop), index=2
}
"""


def test_counters_of_two_words_are_followed():
    program = parse(COUNTER_OF_TWO_WORDS)
    assert program.chips == 8
    # 37 turns of: three scalar operations, a conversion that is none, and eight exponentials.
    assert program_cost(program).vector == 37 * (3 + 8)


def test_text_that_is_no_program_is_refused():
    with pytest.raises(ValueError, match="no entry computation"):
        parse("HloModule nothing\n")


def test_bytes_include_the_padding_to_tiles():
    assert ArrayType("f32", (100, 25), "1,0:T(8,128)").bytes == 104 * 128 * 4
    assert ArrayType("f32", (100, 25), "0,1:T(8,128)").bytes == 32 * 128 * 4
    assert ArrayType("bf16", (16, 128), "1,0:T(8,128)(2,1)S(1)").bytes == 16 * 128 * 2
    assert not ArrayType("bf16", (16, 128), "1,0:T(8,128)(2,1)S(1)").in_hbm


def brute_force_load(pairs, places, extents):
    """Messages a link, by walking the shorter way round each axis in turn."""
    loads = {}
    for source, target in pairs:
        here = list(places[source])
        for axis, extent in enumerate(extents):
            while here[axis] != places[target][axis]:
                forward = (places[target][axis] - here[axis]) % extent
                step = 1 if forward <= extent // 2 else -1
                following = here.copy()
                following[axis] = (here[axis] + step) % extent
                link = tuple(here), tuple(following)
                loads[link] = loads.get(link, 0) + 1
                here = following
    return max(loads.values(), default=0)


def test_the_busiest_link_is_that_of_walked_routes(rng):
    extents = (5, 7)  # odd: no two ways are equally long
    places = [(x, y) for x in range(5) for y in range(7)]
    order = rng.permutation(len(places))
    pairs = [(int(a), int(b)) for a, b in zip(order, np.roll(order, 1), strict=True)]
    found = busiest_link(pairs, places, ring=5)
    assert found == brute_force_load(pairs, places, extents)
    # Without closed rings no route is shorter.
    assert busiest_link(pairs, places, ring=100) >= 1
    assert busiest_link([(0, 3)], [(x,) for x in range(4)], ring=100) == 1


def test_a_hidden_message_costs_nothing_and_an_exposed_one_its_bytes():
    chip, places = CHIPS["v5e"], [(x, y) for x in range(2) for y in range(2)]
    work = Cost(passes=chip.peak)  # one second
    message = Message("collective-permute", 3, chip.link / 2, ((0, 1),), "", work)
    hidden = modelled(Cost(messages=(message,)) + work, chip, places)
    assert message_seconds(message, chip, places) == pytest.approx(0.5)
    assert (hidden.exchange, hidden.exposed) == (pytest.approx(1.5), 0)
    assert (hidden.seconds, hidden.bound) == (pytest.approx(1.0), "matrix")
    late = Message("collective-permute", 3, chip.link / 2, ((0, 1),), "", Cost())
    assert modelled(Cost(messages=(late,)), chip, places).exposed == pytest.approx(1.5)
