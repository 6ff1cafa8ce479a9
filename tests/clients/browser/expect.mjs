// What every check here ends with.

export function expect(holds, what) {
  if (!holds) throw new Error(what);
}

/** Collects what a page complains of. A refusal by the API is no fault of the page, though Chromium logs it as one. */
export function complaints(page, api) {
  const found = [];
  page.on("pageerror", (error) => found.push(String(error)));
  page.on("console", (message) => {
    const refusal = message.text().startsWith("Failed to load resource") && message.location().url.startsWith(api);
    if (message.type() === "error" && !refusal) found.push(message.text());
  });
  return found;
}
