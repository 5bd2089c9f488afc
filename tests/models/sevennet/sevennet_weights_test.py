import itertools

import numpy as np
import pytest

from jaxalign.models.atomistic.tensor_products import coupling_paths, coupling_tensor
from jaxalign.models.sevennet.sevennet import BLOCKS, SILU_SCALE, SevenNetConfig
from jaxalign.models.sevennet.sevennet_params import block_channels, init_params
from jaxalign.models.sevennet.sevennet_weights import convert_params, read_config
from jaxalign.models.weight_files.weights import WeightsError, count_params

CONFIG = SevenNetConfig(channels=(6, 4, 2), elements=(3, 26, 8), onset=4.5)
SETTINGS = {
    "version": "0.9.1",
    "is_parity": False,
    "self_connection_type": "linear",
    "use_bias_in_linear": False,
    "readout_as_fcn": False,
    "act_radial": "silu",
    "weight_nn_hidden_neurons": [64, 64],
    "num_convolution_layer": 5,
    "_type_map": {8: 2, 3: 0, 26: 1},
    "irreps_manual": ["6x0e", *["6x0e+4x1e+2x2e"] * 4, "6x0e"],
    "cutoff": 5.0,
    "cutoff_function": {"cutoff_function_name": "XPLOR", "cutoff_on": 4.5},
    "_normalize_sph": True,
}


def paths_of(number):
    inputs, sums, _ = block_channels(CONFIG, number)
    return coupling_paths(len(inputs) - 1, CONFIG.degree, len(sums) - 1)


def checkpoint(rng, *, modals=0):
    """Arrays with the names and shapes of a file of e3nn, masks and empty arrays included."""
    draw = lambda *shape: rng.normal(size=shape).astype(np.float32)  # noqa: E731
    arrays = {
        "edge_embedding.basis_function.coeffs": draw(8),
        "onehot_to_feature_x.linear.weight": draw(3 * 6),
        "onehot_to_feature_x.linear.output_mask": np.ones(6, np.float32),
        "onehot_to_feature_x.linear.bias": draw(0),
        "reduce_input_to_hidden.linear.weight": draw((6 + modals) * 3),
        "reduce_hidden_to_energy.linear.weight": draw(3),
        "rescale_atomic_energy.shift": draw(modals, 3) if modals else draw(3),
        "rescale_atomic_energy.scale": draw(3),
    }
    for number in range(BLOCKS):
        inputs, sums, hidden = block_channels(CONFIG, number)
        columns = sum(inputs[path.left] for path in paths_of(number))
        size = lambda a, b: sum(n * m for n, m in zip(a, b, strict=False))  # noqa: E731
        arrays |= {
            f"{number}_self_connection_intro.linear.weight": draw(size(inputs, hidden)),
            f"{number}_self_interaction_1.linear.weight": draw(
                size(inputs, inputs) + modals * inputs[0]
            ),
            f"{number}_self_interaction_2.linear.weight": draw(
                size(sums, hidden) + modals * hidden[0]
            ),
            f"{number}_convolution.denominator": np.array([36.0], np.float32),
        }
        for layer, (n, m) in enumerate(itertools.pairwise((8, 64, 64, columns))):
            arrays[f"{number}_convolution.weight_nn.layer{layer}.weight"] = draw(n, m)
        for path in paths_of(number):
            if 0 not in path:
                arrays[table_name(number, path)] = coupling_tensor(path).astype(np.float32)
    return arrays


def table_name(number, path):
    degrees = "_".join(map(str, path))
    return f"{number}_convolution.convolution._compiled_main_left_right._w3j_{degrees}"


def test_settings_are_read():
    assert read_config(SETTINGS) == CONFIG
    later = {**SETTINGS, "cutoff_function": {"cutoff_function_name": "poly_cut"}}
    later = {key: value for key, value in later.items() if key != "_normalize_sph"}
    assert read_config(later).onset is None
    assert not read_config(later).unit_vectors


@pytest.mark.parametrize(
    ("name", "value"), [("version", "0.11.0"), ("is_parity", True), ("act_radial", "tanh")]
)
def test_other_architectures_are_refused(name, value):
    with pytest.raises(WeightsError, match=name):
        read_config({**SETTINGS, name: value})


def test_factors_of_e3nn_are_multiplied_in(rng):
    arrays = checkpoint(rng)
    params, reference = convert_params(arrays, CONFIG, modal=None)
    flat = arrays["2_self_interaction_1.linear.weight"]
    np.testing.assert_allclose(
        params["middle"]["mix"]["weights"][1][1], flat[36:52].reshape(4, 4) / 2
    )
    first = arrays["4_convolution.weight_nn.layer2.weight"]
    # Of the last block, whose paths are (0, 0, 0), (1, 1, 0) and (2, 2, 0).
    np.testing.assert_allclose(params["last"]["paths"][1], first[:, 6:10] * (SILU_SCALE / 288))
    readout = arrays["reduce_input_to_hidden.linear.weight"].reshape(6, 3) / np.sqrt(6)
    readout = readout @ arrays["reduce_hidden_to_energy.linear.weight"] / np.sqrt(3)
    np.testing.assert_allclose(params["readout"]["weights"][0][:, 0], readout, rtol=1e-5)
    shift = arrays["rescale_atomic_energy.shift"].tolist()
    assert reference == dict(zip((3, 26, 8), shift, strict=True))


def test_a_table_of_opposite_sign_turns_the_columns_of_its_path(rng):
    arrays = checkpoint(rng)
    path = (1, 2, 2)
    name = table_name(1, path)
    params, _ = convert_params(arrays, CONFIG, modal=None)
    turned, _ = convert_params({**arrays, name: -arrays[name]}, CONFIG, modal=None)
    right = [p for p in paths_of(1) if p.right == 2]
    widths = [CONFIG.channels[p.left] for p in right]
    signs = np.repeat([-1 if p == path else 1 for p in right], widths)
    for degree in range(3):
        before, after = (p["middle"]["paths"][degree] for p in (params, turned))
        np.testing.assert_array_equal(after[1:], before[1:])
        np.testing.assert_array_equal(after[0], before[0] * (signs if degree == 2 else 1))


def test_a_modality_is_a_bias(rng):
    arrays = checkpoint(rng, modals=2)
    chosen = [convert_params(arrays, CONFIG, modal=(n, 2)) for n in range(2)]
    rows = arrays["3_self_interaction_1.linear.weight"][-12:].reshape(2, 6) / np.sqrt(8)
    for number, (params, reference) in enumerate(chosen):
        np.testing.assert_allclose(params["middle"]["mix"]["bias"][2], rows[number])
        assert list(reference.values()) == arrays["rescale_atomic_energy.shift"][number].tolist()
    with pytest.raises(WeightsError, match="weights, expected"):
        convert_params(arrays, CONFIG, modal=None)


def test_old_spellings_are_understood(rng):
    arrays = checkpoint(rng)
    old = {
        name.replace("edge_embedding", "EdgeEmbedding")
        .replace("denominator", "denumerator")
        .replace("reduce_input_to_hidden", "reducing nn input to hidden")
        .replace("_self_connection_intro", " self connection intro"): array
        for name, array in arrays.items()
    }
    (one, _), (other, _) = (convert_params(a, CONFIG, modal=None) for a in (arrays, old))
    np.testing.assert_array_equal(
        one["first"]["skip"]["weights"], other["first"]["skip"]["weights"]
    )
    np.testing.assert_array_equal(one["readout"]["weights"], other["readout"]["weights"])


def test_foreign_arrays_and_tables_are_refused(rng):
    arrays = checkpoint(rng)
    name = table_name(2, (2, 2, 2))
    with pytest.raises(WeightsError, match="coupling table"):
        convert_params({**arrays, name: arrays[name] + 0.01}, CONFIG, modal=None)
    with pytest.raises(WeightsError, match="attention"):
        convert_params({**arrays, "attention": np.ones(3)}, CONFIG, modal=None)
    del arrays["3_convolution.denominator"]
    with pytest.raises(WeightsError, match="3_convolution"):
        convert_params(arrays, CONFIG, modal=None)


def test_random_parameters_have_the_shapes_of_converted_ones(rng):
    params, _ = convert_params(checkpoint(rng), CONFIG, modal=None)
    drawn = init_params(CONFIG, seed=0)
    assert count_params(drawn) == count_params(params)
    assert np.std(drawn["first"]["radial"][0]) == pytest.approx(8**-0.5, rel=0.2)
