// What is wrong with the page for people who see little, use a keyboard, or listen: the rules of WCAG 2.2 that a program can check
// and that axe-core has not, or takes less strictly. The body of a function: it returns a list of sentences, empty if all is well.

const faults = [];
const fault = (rule, element, more = "") => faults.push(`${rule}: ${element.outerHTML.slice(0, 140)} ${more}`.trim());
const all = (selector) => [...document.querySelectorAll(selector)].filter((one) => one.checkVisibility({ visibilityProperty: true }));

// 1.3.1: tables say what they are, and pictures are told of or hidden
for (const table of all("table")) if (!table.caption?.innerText.trim()) fault("a table has no caption", table);
for (const head of all("th")) if (!head.scope) fault("a head of a column has no scope", head);
for (const picture of all("svg, img")) {
  const told = picture.getAttribute("aria-hidden") === "true" || (picture.getAttribute("role") === "img" && picture.ariaLabel) || picture.alt;
  if (!told) fault("a picture is neither told of nor hidden", picture);
}

// 4.1.2: ids are unique, and references lead somewhere
const ids = [...document.querySelectorAll("[id]")].map(({ id }) => id);
for (const id of new Set(ids.filter((id, index) => ids.indexOf(id) !== index))) faults.push(`the id ${id} is there twice`);
for (const name of ["aria-labelledby", "aria-describedby", "aria-controls"]) {
  for (const one of all(`[${name}]`)) {
    for (const id of one.getAttribute(name).split(/\s+/)) if (!document.getElementById(id)) fault(`${name} leads nowhere`, one);
  }
}

// 2.5.8: controls that stand by themselves are at least 24 by 24 pixels, however far the next one is
for (const control of all("button, select, input, nav a, summary")) {
  const { width, height } = control.getBoundingClientRect();
  const small = control.type === "checkbox" ? 18 : 24;
  if (control.tagName !== "SUMMARY" && (width < small || height < small)) fault("a control is too small", control, `${width} × ${height}`);
}

// 1.4.10: nothing is beside the page
if (document.documentElement.scrollWidth > innerWidth) faults.push(`the page is ${document.documentElement.scrollWidth - innerWidth} pixels too wide`);

// 1.4.11: the edges of controls, 3 to 1. A canvas knows every notation of a colour.
const canvas = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
const channels = (color) => {
  canvas.clearRect(0, 0, 1, 1);
  canvas.fillStyle = color;
  canvas.fillRect(0, 0, 1, 1);
  const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
  return [r, g, b, a / 255];
};
const over = ([r, g, b, a], below) => [...[r, g, b].map((channel, index) => channel * a + below[index] * (1 - a)), 1];
const ground = (element) => {
  const behind = [];
  for (let one = element; one; one = one.parentElement) behind.push(channels(getComputedStyle(one).backgroundColor));
  return behind.reverse().reduce((below, layer) => over(layer, below), [255, 255, 255, 1]);
};
const luminance = (color) => {
  const [r, g, b] = color.slice(0, 3).map((channel) => channel / 255).map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const contrast = (a, b) => {
  const [light, dark] = [luminance(a), luminance(b)].sort((x, y) => y - x);
  return (light + 0.05) / (dark + 0.05);
};
for (const control of all("button, select, input:not([type=checkbox]), textarea")) {
  const style = getComputedStyle(control);
  const behind = ground(control.parentElement);
  const edge = contrast(over(channels(style.borderTopColor), behind), behind);
  if (edge < 3 && !control.disabled) fault(`the edge's contrast is ${edge.toFixed(2)}`, control);
}

// 1.4.3: 4.5 to 1, or 3 to 1 for large text. axe-core leaves text over a picture open, which here is one of lines.
const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (texts.nextNode()) {
  const element = texts.currentNode.parentElement;
  if (!texts.currentNode.data.trim() || !element.checkVisibility({ visibilityProperty: true }) || element.closest(":disabled, .hidden, .skip:not(:focus)")) continue;
  const style = getComputedStyle(element);
  const behind = ground(element);
  const ratio = contrast(over(channels(style.color), behind), behind);
  const size = parseFloat(style.fontSize);
  const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
  if (ratio < (large ? 3 : 4.5)) fault(`contrast ${ratio.toFixed(2)}`, element);
}

return faults;
