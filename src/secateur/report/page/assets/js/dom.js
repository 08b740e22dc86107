// Small tools of all parts. Text always goes through textContent: what a record says never becomes markup.
const DATA = JSON.parse(document.getElementById("data").textContent);
const SVG = "http://www.w3.org/2000/svg";
document.documentElement.classList.add("js");

const byId = (id) => document.getElementById(id);

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes || {})) {
    if (name === "text") element.textContent = value;
    else if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value !== null && value !== undefined && value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...(children || []).filter((child) => child !== null));
  return element;
}

const make = (tag, attributes, children) => fill(document.createElement(tag), attributes, children);
const draw = (tag, attributes, children) => fill(document.createElementNS(SVG, tag), attributes, children);
