// Finds what keeps people from using a page, as far as a program can tell. The
// numbers in brackets are success criteria of WCAG 2.2.
(() => {
  const found = [];
  const check = (ok, problem) => { if (!ok) found.push(problem); };
  const name = (e) => e.id ? `#${e.id}` : e.tagName.toLowerCase();
  const all = (selector) => [...document.querySelectorAll(selector)];
  const visible = (e) => e.checkVisibility() && e.getBoundingClientRect().width > 0;
  const root = document.documentElement;

  check(root.lang, 'the language is not told (3.1.1)');
  check(document.title.trim(), 'there is no title (2.4.2)');
  check(document.characterSet === 'UTF-8', 'the encoding is not UTF-8');
  check(all('h1').length === 1, `there are ${all('h1').length} h1 headings, want one (1.3.1)`);
  check(all('main').length === 1, 'there is no single main landmark (1.3.1)');
  const viewport = document.querySelector('meta[name=viewport]')?.content ?? '';
  check(viewport.includes('width=device-width'), 'the page is not made for telephones');
  check(!/user-scalable|maximum-scale/.test(viewport), 'the page cannot be magnified (1.4.4)');
  check(root.scrollWidth <= window.innerWidth, `the page is ${root.scrollWidth} pixels wide in a window of ${window.innerWidth} (1.4.10)`);

  let level = 0;
  for (const h of all('h1, h2, h3, h4, h5, h6')) {
    check(h.textContent.trim(), 'a heading is empty (2.4.6)');
    check(Number(h.tagName[1]) <= level + 1, `${h.tagName} comes after H${level} (1.3.1)`);
    level = Number(h.tagName[1]);
  }
  const ids = all('[id]').map((e) => e.id);
  check(new Set(ids).size === ids.length, 'an id is used twice');
  for (const e of all('[aria-describedby], [aria-labelledby]')) {
    for (const id of `${e.getAttribute('aria-describedby') ?? ''} ${e.getAttribute('aria-labelledby') ?? ''}`.trim().split(/\s+/)) {
      check(document.getElementById(id), `${name(e)} is described by #${id}, which is not there`);
    }
  }
  for (const e of all('input:not([type=hidden]), select, textarea')) {
    check([...e.labels].some((l) => l.textContent.trim()), `${name(e)} has no label (3.3.2)`);
    check(e.type === 'submit' || e.autocomplete, `${name(e)} does not say what may be filled in (1.3.5)`);
  }
  for (const e of all('button, a[href]')) check(e.textContent.trim(), `${name(e)} has no text (4.1.2)`);
  for (const e of all('img')) check(e.hasAttribute('alt'), 'an image has no text in its place (1.1.1)');
  for (const e of all('button, input:not([type=hidden])').filter(visible)) {
    const { width, height } = e.getBoundingClientRect();
    check(width >= 24 && height >= 24, `${name(e)} is too small to hit: ${width} by ${height} (2.5.8)`);
  }

  // Colours are given to the canvas to read, since there are many ways to write one.
  const canvas = Object.assign(document.createElement('canvas'), { width: 1, height: 1 });
  const brush = canvas.getContext('2d', { willReadFrequently: true });
  const over = (colours) => { // paints them one over the other
    brush.clearRect(0, 0, 1, 1);
    for (const c of colours) { brush.fillStyle = c; brush.fillRect(0, 0, 1, 1); }
    return [...brush.getImageData(0, 0, 1, 1).data].slice(0, 3);
  };
  const ground = (e) => e ? [...ground(e.parentElement), getComputedStyle(e).backgroundColor] : ['Canvas'];
  const light = (rgb) => {
    const [r, g, b] = rgb.map((v) => v / 255).map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const contrast = (colour, under) => {
    const [a, b] = [light(over([...under, colour])), light(over(under))].sort((x, y) => y - x);
    return (a + 0.05) / (b + 0.05);
  };
  for (const e of all('body *').filter(visible)) {
    const style = getComputedStyle(e);
    if ([...e.childNodes].some((n) => n.nodeType === Node.TEXT_NODE && n.data.trim())) {
      const size = parseFloat(style.fontSize);
      const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
      const c = contrast(style.color, ground(e));
      check(c >= (large ? 3 : 4.5), `the text of ${name(e)} has a contrast of ${c.toFixed(2)} (1.4.3)`);
      check(size >= 12, `the text of ${name(e)} is ${size} pixels high`);
    }
    if (e.matches('input:not([type=hidden])')) {
      const c = contrast(style.borderTopColor, ground(e.parentElement));
      check(c >= 3, `the border of ${name(e)} has a contrast of ${c.toFixed(2)} (1.4.11)`);
    }
  }
  return found;
})()
