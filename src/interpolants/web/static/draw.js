// Drawing on a canvas: points between two frames, trails, density, images. Colours can be told apart by everyone.

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

export function readInks() {
  const dark = matchMedia("(prefers-color-scheme: dark)").matches;
  const named = Object.fromEntries(["blue", "orange", "green", "purple", "ink", "faint", "line"].map((name) => [name, colour("--" + name)]));
  return { ...named, dark, series: [named.blue, named.orange, named.green, named.purple] };
}

// From a box [[x0, x1], [y0, y1]] in data units to pixels; y runs up.
export function toPixels(canvas, [[x0, x1], [y0, y1]]) {
  const sx = canvas.width / (x1 - x0), sy = canvas.height / (y1 - y0);
  return { x: (x) => (x - x0) * sx, y: (y) => (y1 - y) * sy };
}

export function points(pen, place, p, a, b, w, n, { ink, alpha, size }) {
  const half = size / 2;
  pen.fillStyle = ink;
  pen.globalAlpha = alpha;
  for (let i = 0; i < 2 * n; i += 2) {
    const x = p[a + i] + w * (p[b + i] - p[a + i]), y = p[a + i + 1] + w * (p[b + i + 1] - p[a + i + 1]);
    pen.fillRect(place.x(x) - half, place.y(y) - half, size, size);
  }
  pen.globalAlpha = 1;
}

export function trails(pen, place, p, n, k, many, { ink, alpha = 0.35, width = 1 }) {
  pen.strokeStyle = ink;
  pen.globalAlpha = alpha;
  pen.lineWidth = width;
  for (let i = 0; i < Math.min(many, n); i++) {
    pen.beginPath();
    for (let f = 0; f <= k; f++) pen.lineTo(place.x(p[2 * (f * n + i)]), place.y(p[2 * (f * n + i) + 1]));
    pen.stroke();
  }
  pen.globalAlpha = 1;
}

export function ring(pen, x, y, ink) {
  pen.strokeStyle = ink;
  pen.lineWidth = 2;
  pen.beginPath();
  pen.arc(x, y, 7, 0, 7);
  pen.stroke();
}

export function density(bytes, at, size, dark) {
  const picture = new OffscreenCanvas(size, size), brush = picture.getContext("2d");
  const data = brush.createImageData(size, size), [r, g, b] = dark ? [86, 180, 233] : [0, 114, 178];
  for (let row = 0; row < size; row++)
    for (let column = 0; column < size; column++)
      data.data.set([r, g, b, 0.55 * bytes[at + row * size + column]], 4 * ((size - 1 - row) * size + column));
  brush.putImageData(data, 0, 0);
  return picture;
}

// One image (C, H, W) of bytes from `at`, as a small canvas.
export function image(bytes, at, [channels, height, width]) {
  const picture = new OffscreenCanvas(width, height), brush = picture.getContext("2d");
  const data = brush.createImageData(width, height), plane = height * width;
  for (let i = 0; i < plane; i++)
    for (let c = 0; c < 4; c++) data.data[4 * i + c] = c === 3 ? 255 : bytes[at + (channels === 1 ? 0 : c * plane) + i];
  brush.putImageData(data, 0, 0);
  return picture;
}
