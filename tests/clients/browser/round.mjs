// The API as browsers meet it: the reference, and pages of other sites. node round.mjs '{"url": …}', see ../browse.py
import { chromium } from "playwright-core";
import { createServer } from "node:http";
import { once } from "node:events";
import { eachOperation, onAPhone } from "./reference.mjs";
import { foreignPage, pageOfAnotherSite } from "./sites.mjs";

const given = JSON.parse(process.argv[2]);

/** A site without anything on it: what its pages do is said by whoever opens them. */
async function site(port) {
  const server = createServer((_, response) => {
    response.writeHead(200, { "Content-Type": "text/html" });
    response.end('<!doctype html><title>a site</title><link rel="icon" href="data:,">');
  });
  server.listen(port, "127.0.0.1");
  await once(server, "listening");
  return server;
}

const servers = [await site(given.allowedPort), await site(given.foreignPort)];
// Chromium has no sandbox of its own for root, as whom CI runs.
const browser = await chromium.launch({ executablePath: given.chromium, args: ["--no-sandbox"] });
try {
  await eachOperation(browser, given);
  await onAPhone(browser, given);
  await pageOfAnotherSite(browser, given);
  await foreignPage(browser, given);
} finally {
  await browser.close();
  for (const server of servers) server.close();
}
