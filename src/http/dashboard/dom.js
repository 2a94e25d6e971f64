/**
 * Elements without a framework. A view is a pure function that gives new elements; `morph` turns the page into them and
 * leaves alone what is the same, so that focus, selection and scroll position stay where they are.
 */

/** `el('p', { class: 'muted' }, 'text', child)`. Text is always set as text; undefined, null and '' are left out. */
export function el(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    element.setAttribute(key, value === true ? '' : String(value));
  }
  element.append(
    ...children.flat(Infinity).filter((child) => child !== undefined && child !== null && child !== ''),
  );
  return element;
}

/** Makes the children of `target` those given. Elements with the same `data-key` are the same thing. */
export function fill(target, ...children) {
  const wanted = target.cloneNode(false);
  wanted.append(...children.flat(Infinity).filter((child) => child !== undefined && child !== ''));
  morphChildren(target, wanted);
}

function morph(from, to) {
  if (from.nodeType === Node.TEXT_NODE) {
    if (from.data !== to.data) from.data = to.data;
    return;
  }
  for (const { name } of [...from.attributes]) if (!to.hasAttribute(name)) from.removeAttribute(name);
  for (const { name, value } of to.attributes) {
    if (from.getAttribute(name) !== value) from.setAttribute(name, value);
  }
  morphChildren(from, to);
}

function morphChildren(from, to) {
  const kept = new Set([...to.children].map(keyOf).filter((key) => key !== undefined));
  const known = new Map();
  for (const child of [...from.children]) {
    const key = keyOf(child);
    if (key === undefined) continue;
    // What has gone goes first: then what stays need not be moved, and a moved element would lose its focus.
    if (kept.has(key)) known.set(key, child);
    else child.remove();
  }
  let place = from.firstChild;
  for (const next of [...to.childNodes]) {
    const same = known.get(keyOf(next)) ?? (isAlike(place, next) ? place : undefined);
    if (same === undefined) {
      from.insertBefore(next, place);
      continue;
    }
    if (same === place) place = place.nextSibling;
    else from.insertBefore(same, place);
    morph(same, next);
  }
  while (place !== null) {
    const after = place.nextSibling;
    place.remove();
    place = after;
  }
}

function isAlike(node, next) {
  return node !== null && node.nodeName === next.nodeName && keyOf(node) === keyOf(next);
}

function keyOf(node) {
  return node.dataset?.key;
}
