// Numbers as people read them, and elements in one line.

const MINUS = "\u2212";

// Fixed decimals, one more below 0.1, a true minus sign; "–" for none.
function score(value, digits = 3) {
  if (!Number.isFinite(value)) return "–";
  const decimals = Math.abs(value) >= 0.1 || value === 0 ? digits : digits + 1;
  return fixed(value, decimals);
}

function fixed(value, decimals) {
  const text = value.toFixed(decimals);
  return (Number(text) === 0 ? text.replace("-", "") : text).replace("-", MINUS);
}

// A probability: three digits, and a bound where float32 has none left.
function probability(value) {
  if (!Number.isFinite(value)) return "–";
  if (value < 1e-30) return "< 1e" + MINUS + "30";
  if (value >= 0.001) return value.toPrecision(2);
  return value.toExponential(1).replace("-", MINUS);
}

const integer = (value) => (Number.isFinite(value) ? value.toLocaleString("en") : "–");

// An element with attributes and children; strings become text, never markup.
function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "class") made.className = value;
    else made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

// Text for places where plotly reads tags.
const markup = (text) => text.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
