// Makes this document one on which xterm.js can draw within the policy of the page.
//
// xterm.js writes its sizes and colours into <style> elements, and colours of single characters
// into style attributes of spans. The policy (style-src 'self') forbids both, because markup of
// strangers could do the same. What a script does to a sheet or to a style object is allowed.
// So texts of style elements go into sheets of the document, and those attributes into the
// style objects. (documentOverride of xterm.js is no way: parts of it use the global document.)

/** An element that takes the text of a <style> and gives it to a sheet. */
function sheetElement() {
  const sheet = new CSSStyleSheet();
  const made = make("template");
  let text = "";
  Object.defineProperty(made, "textContent", {
    get: () => text,
    set(value) {
      text = value;
      sheet.replaceSync(value);
      if (!document.adoptedStyleSheets.includes(sheet)) document.adoptedStyleSheets.push(sheet);
    },
  });
  made.remove = () => {
    document.adoptedStyleSheets = document.adoptedStyleSheets.filter((one) => one !== sheet);
    Element.prototype.remove.call(made);
  };
  return made;
}

const make = document.createElement.bind(document);

document.createElement = (name, options) =>
  name === "style" ? sheetElement() : make(name, options);

HTMLSpanElement.prototype.setAttribute = function setAttribute(name, value) {
  if (name === "style") this.style.cssText = value;
  else Element.prototype.setAttribute.call(this, name, value);
};
