// Elements by description, and bringing the page to a new description without losing focus, selection or scroll.

const SVG = "http://www.w3.org/2000/svg";

const put = (parent, children) => {
  for (const child of children.flat(Infinity)) {
    if (child !== null && child !== undefined && child !== false) parent.append(child);
  }
  return parent;
};

const made = (element, attributes, children) => {
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value === true) element.setAttribute(name, "");
    else if (value !== null && value !== undefined && value !== false) element.setAttribute(name, value);
  }
  return put(element, children);
};

export const h = (tag, attributes, ...children) => made(document.createElement(tag), attributes, children);
export const svg = (tag, attributes, ...children) => made(document.createElementNS(SVG, tag), attributes, children);

/** Shows the children in the place, changing only what differs. */
export function show(place, ...children) {
  morphChildren(place, put(document.createDocumentFragment(), children));
}

const keyOf = (node) => (node.nodeType === Node.ELEMENT_NODE ? node.id || node.dataset?.key : undefined);

function morphChildren(old, next) {
  const keyed = new Map();
  for (const child of old.childNodes) {
    const key = keyOf(child);
    if (key) keyed.set(key, child);
  }
  const stays = new Set([...next.childNodes].map(keyOf));
  let at = old.firstChild;
  for (const wanted of [...next.childNodes]) {
    // What goes is taken out first: moving what stays would take the focus from it.
    while (at && keyOf(at) && !stays.has(keyOf(at))) at = removed(at);
    const key = keyOf(wanted);
    let match = key ? keyed.get(key) : at;
    if (!key && match && keyOf(match)) match = null;
    if (match && match.nodeName !== wanted.nodeName) match = null;
    if (!match) {
      old.insertBefore(wanted, at);
      continue;
    }
    if (match === at) at = at.nextSibling;
    else old.insertBefore(match, at);
    morph(match, wanted);
  }
  while (at) at = removed(at);
}

function removed(node) {
  const next = node.nextSibling;
  node.remove();
  return next;
}

// What people have typed, opened or chosen is theirs.
const THEIRS = new Set(["open", "value", "checked", "selected"]);

function morph(old, next) {
  if (old.nodeType !== Node.ELEMENT_NODE) {
    if (old.nodeValue !== next.nodeValue) old.nodeValue = next.nodeValue;
    return;
  }
  for (const { name, value } of next.attributes) {
    if (!THEIRS.has(name) && old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
  for (const { name } of [...old.attributes]) {
    if (!THEIRS.has(name) && !next.hasAttribute(name)) old.removeAttribute(name);
  }
  if (old.nodeName !== "TEXTAREA") morphChildren(old, next);
}
