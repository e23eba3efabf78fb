// Returns what is wrong with the page, one sentence each: the kind, and the text that it is about.
(() => {
  const faults = [];
  const width = document.documentElement.clientWidth;
  if (document.documentElement.scrollWidth > width) faults.push(`overflow of the page: ${document.documentElement.scrollWidth}`);

  // Every piece of a text that is shown, where it is.
  const pieces = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const node = walker.currentNode, parent = node.parentElement;
    if (!node.data.trim() || !parent.checkVisibility()) continue;
    const range = document.createRange();
    range.selectNodeContents(node);
    for (const box of range.getClientRects())
      if (box.width > 0 && box.height > 0) pieces.push({node, parent, box});
  }
  if (pieces.length < 50) faults.push(`overlap cannot be told: ${pieces.length} texts`);
  const text = (piece) => piece.node.data.trim().slice(0, 40);

  for (const piece of pieces) {
    const {left, right} = piece.box;
    if (left < -0.5 || right > width + 0.5) faults.push(`overflow: ${text(piece)}`);
    const cell = piece.parent.closest("td, th, dd, dt, .name, .n, h1, p, li");
    if (cell && right > cell.getBoundingClientRect().right + 1) faults.push(`overflow of its cell: ${text(piece)}`);
  }
  // The middle of a line is what letters fill; lines of one text may touch above and below.
  const core = ({box}) => ({left: box.left + 1, right: box.right - 1, top: box.top + box.height * 0.25, bottom: box.bottom - box.height * 0.25});
  const sorted = pieces.map((piece) => ({piece, ...core(piece)})).sort((one, other) => one.top - other.top);
  sorted.forEach((one, at) => {
    for (let next = at + 1; next < sorted.length && sorted[next].top < one.bottom; next += 1) {
      const other = sorted[next];
      if (other.left < one.right && one.left < other.right) faults.push(`overlap: ${text(one.piece)} | ${text(other.piece)}`);
    }
  });
  // Pictures lie on no text.
  for (const svg of document.querySelectorAll("svg, .bar")) {
    if (!svg.checkVisibility()) continue;
    const box = svg.getBoundingClientRect();
    if (box.width && box.right > width + 0.5) faults.push("overflow: a picture");
    for (const one of sorted)
      if (one.left < box.right && box.left < one.right && one.top < box.bottom && box.top < one.bottom) faults.push(`overlap: a picture | ${text(one.piece)}`);
  }

  const channels = (colour) => colour.match(/[\d.]+/g).map(Number);
  const luminance = ([red, green, blue]) => {
    const [r, g, b] = [red, green, blue].map((value) => {
      const part = value / 255;
      return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const background = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const found = channels(getComputedStyle(at).backgroundColor);
      if (found.length === 3 || found[3] === 1) return found;
    }
    return [255, 255, 255];
  };
  for (const piece of pieces) {
    const one = luminance(channels(getComputedStyle(piece.parent).color));
    const other = luminance(background(piece.parent));
    const ratio = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
    if (ratio < 4.5) faults.push(`contrast ${ratio.toFixed(2)}: ${text(piece)}`);
  }
  return [...new Set(faults)];
})()
