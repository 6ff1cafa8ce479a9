// /docs: every operation is executed as it is offered.
import { execFileSync } from "node:child_process";
import { complaints, expect } from "./expect.mjs";

const FIRST = ["register", "login", "create_activity"];
const ENDLESS = "follow_changes"; // the page shows an answer only once it is there
const LAST = ["revoke_session", "logout", "logout_all", "delete_me", "change_password"];
const REFUSALS = [401, 403, 404, 409, 410, 412];

const TRACK = `<gpx xmlns="http://www.topografix.com/GPX/1/1" version="1.1" creator="round"><trk><trkseg>
<trkpt lat="48.85" lon="2.35"><time>2026-05-02T08:00:00Z</time></trkpt>
<trkpt lat="48.86" lon="2.35"><time>2026-05-02T08:10:00Z</time></trkpt></trkseg></trk></gpx>`;
const PICTURE =
  "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR42mP4z8AAAAMBAQDJ/pLvAAAAAElFTkSuQmCC";
const FILES = {
  import_file: { name: "morning.gpx", mimeType: "application/gpx+xml", buffer: Buffer.from(TRACK) },
  add_photo: { name: "lake.png", mimeType: "image/png", buffer: Buffer.from(PICTURE, "base64") },
};

/** As its reader: register, log in, authorize, and then whatever else there is. */
export async function eachOperation(browser, { url, screenshots, promote }) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 } });
  const page = await context.newPage();
  const complained = complaints(page, `${url}/api/`);
  const asked = [];
  page.on("request", (request) => asked.push(request.url()));
  await page.goto(`${url}/docs`);
  await page.waitForSelector(".opblock");
  await page.screenshot({ path: `${screenshots}/reference.png` });

  const operations = operationsOf(await (await fetch(`${url}/openapi.json`)).json());
  const shown = await page.locator(".opblock").evaluateAll((blocks) => blocks.map((block) => block.id));
  expect(shown.length === operations.length, `${shown.length} operations are shown, ${operations.length} documented`);

  for (const one of inOrder(operations)) {
    if (LAST.includes(one.id)) await authorize(page, await logIn(url));
    const status = await execute(page, one);
    const refused = REFUSALS.includes(status) && String(status) in one.responses;
    expect((status >= 200 && status < 300) || refused, `${one.id}, as it is offered, is answered ${status}`);
    console.log(`${status} ${one.id}`);
    if (one.id === "login") {
      execFileSync(promote[0], promote.slice(1));
      await authorize(page, await shownToken(page, one));
      await page.screenshot({ path: `${screenshots}/login.png` });
    }
    if (one.id === "get_statistics") await page.screenshot({ path: `${screenshots}/statistics.png` });
    if (one.id === "purge_activity") await page.screenshot({ path: `${screenshots}/refused.png` });
    await fold(page, one); // the more is unfolded, the slower the page is
  }
  expect(complained.length === 0, `the page complains: ${complained.join("; ")}`);
  const outside = asked.filter((address) => !address.startsWith(`${url}/`) && !/^(data|blob):/.test(address));
  expect(outside.length === 0, `the page asks others: ${outside.join(", ")}`);
  await context.close();
}

/** On a phone nothing sticks out to the side, and an operation can be read and executed. */
export async function onAPhone(browser, { url, screenshots }) {
  const context = await browser.newContext({ viewport: { width: 390, height: 844 }, isMobile: true, hasTouch: true });
  const page = await context.newPage();
  await page.goto(`${url}/docs`);
  await page.waitForSelector(".opblock");
  await page.screenshot({ path: `${screenshots}/phone.png` });
  const health = { id: "live", tag: "health", method: "GET", path: "/health/live" };
  expect((await execute(page, health)) === 200, "live is answered");
  await page.screenshot({ path: `${screenshots}/phone-executed.png` });
  await fold(page, { id: "list_activities", tag: "activities" }); // with links to other operations beside its answers
  await page.locator(".response-col_links .operation-link").first().waitFor();
  const width = await page.evaluate(() => document.documentElement.scrollWidth);
  expect(width <= 390, `the page is ${width} pixels wide on a phone of 390`);
  await context.close();
}

function operationsOf(document) {
  return Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, { operationId, tags, responses }]) => {
      return { id: operationId, tag: tags[0], method: method.toUpperCase(), path, responses };
    }),
  );
}

function inOrder(operations) {
  const place = ({ id }) => (FIRST.includes(id) ? FIRST.indexOf(id) - FIRST.length : LAST.indexOf(id) + 1);
  return operations.toSorted((a, b) => place(a) - place(b));
}

function blockOf(page, { tag, id }) {
  return page.locator(`[id="operations-${tag}-${id}"]`);
}

async function fold(page, operation) {
  await blockOf(page, operation).locator(".opblock-summary-control").click();
}

async function execute(page, operation) {
  const { id, method, path } = operation;
  const block = blockOf(page, operation);
  await fold(page, operation);
  if (id in FILES) await block.locator("input[type=file]").setInputFiles(FILES[id]);
  const pattern = new RegExp(`^${path.replace(/{\w+}/g, "[^/]+")}$`);
  const answered = page.waitForResponse((response) => {
    return response.request().method() === method && pattern.test(new URL(response.url()).pathname);
  });
  await block.locator(".btn.execute").click();
  const status = (await answered).status();
  if (id === ENDLESS) return status;
  const shown = block.locator(".live-responses-table tbody .response-col_status").first();
  await shown.waitFor();
  const text = await shown.innerText();
  expect(text.startsWith(String(status)), `${id} is answered ${status}, and ${text} is shown`);
  return status;
}

async function shownToken(page, operation) {
  const answer = blockOf(page, operation).locator(`.live-responses-table .highlight-code code`).first();
  return JSON.parse(await answer.innerText()).access_token;
}

async function authorize(page, token) {
  await page.locator(".scheme-container .btn.authorize").click();
  const dialog = page.locator(".modal-ux");
  await dialog.locator(".btn-done").waitFor();
  const logout = dialog.locator("button", { hasText: "Logout" });
  if (await logout.count()) await logout.click();
  await dialog.locator("input").fill(token);
  await dialog.locator("button.authorize[type=submit]").click();
  await dialog.locator(".btn-done").click();
}

async function logIn(url) {
  const login = { email: "ann@example.org", password: "hills at dawn, twice" };
  const answer = await fetch(`${url}/api/v1/auth/login`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(login),
  });
  expect(answer.status === 200, `the example's login is answered ${answer.status}`);
  return (await answer.json()).access_token;
}
