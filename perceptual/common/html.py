"""HTML by way of an element tree, which escapes all text and attributes by construction."""

from xml.etree import ElementTree


def node(tag, *children, **attributes):
  """Returns an element.

  Args:
    tag: its name.
    *children: elements, and strings, which become text.
    **attributes: strings or numbers; None leaves one out. `class_` is `class`, and underscores
      elsewhere are hyphens.
  """
  element = ElementTree.Element(tag, {
      name.rstrip("_").replace("_", "-"): str(value)
      for name, value in attributes.items() if value is not None})
  for child in children:
    if not isinstance(child, str):
      element.append(child)
    elif len(element):
      element[-1].tail = (element[-1].tail or "") + child
    else:
      element.text = (element.text or "") + child
  return element


def page(head, body):
  """Returns a whole page as text.

  Args:
    head: elements of its head.
    body: elements of its body.
  """
  root = node("html", node("head", *head), node("body", *body), lang="en")
  return "<!DOCTYPE html>\n" + ElementTree.tostring(root, "unicode", method="html") + "\n"


def table(head, rows, *, sortable=False, **attributes):
  """Returns a table.

  Args:
    head: the columns' headings.
    rows: lists of cells: a string, a number with its text as `(number, text)`, or an element.
    sortable: whether the headings are buttons, for the script of the page.
    **attributes: of the table.
  """
  headings = [node("th", node("button", text, type="button") if sortable else text, scope="col")
              for text in head]
  return node("div", node(
      "table", node("thead", node("tr", *headings)),
      node("tbody", *(node("tr", *map(_cell, row)) for row in rows)), **attributes),
      class_="wide", tabindex="0", role="region", aria_label=attributes.get("aria_label"))


def _cell(cell):
  if isinstance(cell, tuple):
    number, text = cell
    return node("td", text, class_="number", data_value=number)
  return node("td", cell)
