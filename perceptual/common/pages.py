"""HTML pages that need nothing else: no other file, no network, no library.

Tables sort by a click on a heading, and pictures in tables enlarge: a click or the arrow keys go
through those of a row.
"""

import base64
import io

from perceptual.common.html import node, page

_POLICY = ("default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
           "script-src 'unsafe-inline'")
_STYLE = """
:root { color-scheme: light dark; --line: #8886; --bar: #3a78c2; --mean: #c2410c; }
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 75rem; padding: 0 1rem; }
h1 { font-size: 1.4rem; } h2 { font-size: 1.1rem; margin-top: 2.5rem; }
h3 { font-size: 1rem; margin-top: 1.5rem; }
h1, td { overflow-wrap: break-word; } td { max-width: 32rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; }
th, td { border-bottom: 1px solid var(--line); padding: .35rem .75rem; text-align: left;
  vertical-align: top; }
th { background: Canvas; position: sticky; top: 0; white-space: nowrap; }
th button { background: none; border: 0; color: inherit; cursor: pointer; font: inherit; padding: 0;
  text-decoration: underline dotted; }
th[aria-sort=ascending] button::after { content: " \\2191"; }
th[aria-sort=descending] button::after { content: " \\2193"; }
td.number { font-variant-numeric: tabular-nums; text-align: right; white-space: nowrap; }
td img { cursor: zoom-in; display: block; min-width: 8rem; width: 12rem; }
td small { display: block; }
figure { margin: 0; } figure img { background: white; max-width: 100%; }
dialog { background: Canvas; border: 1px solid var(--line); color: CanvasText; max-width: 96vw;
  text-align: center; } dialog::backdrop { background: #000c; }
dialog img { cursor: pointer; display: block; height: min(84vh, 90vw); margin: 0 auto;
  max-width: 90vw; object-fit: contain; }
pre { border: 1px solid var(--line); overflow-x: auto; padding: .75rem; }
"""
_SCRIPT = """
for (const button of document.querySelectorAll("th button")) {
  button.addEventListener("click", () => {
    const heading = button.closest("th"), body = heading.closest("table").tBodies[0];
    const order = heading.getAttribute("aria-sort") === "ascending" ? "descending" : "ascending";
    for (const other of heading.parentNode.cells) other.removeAttribute("aria-sort");
    heading.setAttribute("aria-sort", order);
    const value = row => row.cells[heading.cellIndex].dataset.value ??
        row.cells[heading.cellIndex].textContent;
    const compare = (a, b) => {
      if (a === "" || b === "") return (a === "") - (b === "");  // what is missing comes last
      const difference = Number(a) - Number(b);
      const result = Number.isNaN(difference) ? a.localeCompare(b) : difference;
      return order === "ascending" ? result : -result;
    };
    body.append(...[...body.rows].sort((a, b) => compare(value(a), value(b))));
  });
}
// The viewer: a picture at full size; a click or the arrow keys flip through those of its row.
const viewer = document.querySelector("dialog");
let pictures = [], shown = 0;
const show = place => {
  shown = (place + pictures.length) % pictures.length;
  viewer.querySelector("img").src = pictures[shown].src;
  viewer.querySelector("img").alt = pictures[shown].alt;
  viewer.querySelector("p").textContent = pictures[shown].alt;
};
for (const picture of document.querySelectorAll("td img")) {
  const open = () => {
    pictures = [...picture.closest("tr").querySelectorAll("img")];
    show(pictures.indexOf(picture));
    viewer.showModal();
  };
  picture.addEventListener("click", open);
  picture.addEventListener("keydown", event => { if (event.key === "Enter") open(); });
}
if (viewer) {
  viewer.querySelector("img").addEventListener("click", () => show(shown === 0 ? 1 : 0));
  viewer.addEventListener("keydown", event => {
    if (event.key === " ") { event.preventDefault(); show(shown === 0 ? 1 : 0); }
    if (event.key === "ArrowRight") show(shown + 1);
    if (event.key === "ArrowLeft") show(shown - 1);
  });
  viewer.addEventListener("click", event => { if (event.target === viewer) viewer.close(); });
}
"""


def document(title, body, *, style=""):
  """Returns a whole page as text.

  Args:
    title: its title, which is its heading too.
    body: an iterable of elements of `html.node`, below the heading.
    style: CSS of its own, after that of all pages.
  """
  head = [node("meta", charset="utf-8"),
          node("meta", http_equiv="Content-Security-Policy", content=_POLICY),
          node("meta", name="viewport", content="width=device-width, initial-scale=1"),
          node("title", title), node("style", _STYLE + style)]
  viewer = node("dialog", node("img", alt=""), node("p"), aria_label="Picture")
  return page(head, [node("main", node("h1", title), *body, viewer, node("script", _SCRIPT))])


def picture(pixels, *, longest, alt):
  """Returns a picture for a cell of a table, which enlarges.

  Args:
    pixels: `[height, width, 3]` uint8. A larger one is scaled down, and all become JPEG.
    longest: pixels of the longer side.
    alt: what it is, in words.
  """
  from PIL import Image

  image = Image.fromarray(pixels)
  image.thumbnail((longest, longest))
  stream = io.BytesIO()
  image.save(stream, "JPEG", quality=90, subsampling=0)
  return node("img", src=_data("image/jpeg", stream.getvalue()), alt=alt, tabindex="0")


def drawing(image, *, alt):
  """Returns a drawing across the page.

  Args:
    image: the bytes of a PNG.
    alt: what it is, in words.
  """
  return node("img", src=_data("image/png", image), alt=alt)


def _data(kind, content):
  return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"
