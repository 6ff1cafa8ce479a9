// Pages of other sites: one that may use the service, and one that may not.
import { complaints, expect } from "./expect.mjs";

/** register → login → import → list → patch → delete → undo, and the headers of the answers are read on the way. */
export async function pageOfAnotherSite(browser, { url, allowedPort, track }) {
  const context = await browser.newContext();
  const page = await context.newPage();
  const complained = complaints(page, `${url}/api/`);
  await page.goto(`http://127.0.0.1:${allowedPort}/`);
  const done = await page.evaluate(round, { api: `${url}/api/v1`, track });
  console.log(`another site: ${done.steps.join(", ")}`);
  const steps = "register 201, login 200, import 201, list 200, patch 200, stale 412, delete 204, gone 410, undo 200, limits 200";
  expect(done.steps.join(", ") === steps, `of another site: ${done.steps.join(", ")}`);
  for (const [name, value] of Object.entries(done.headers)) expect(value !== null, `the page cannot read ${name}`);
  expect(done.title === "From afar", "the page reads what it wrote");
  expect(complained.length === 0, `the page complains: ${complained.join("; ")}`);
  await context.close();
}

/** It reads nothing, and what needs a preflight is not even done. */
export async function foreignPage(browser, { url, foreignPort }) {
  const context = await browser.newContext();
  const page = await context.newPage();
  const logged = [];
  page.on("console", (message) => logged.push(message.text()));
  await page.goto(`http://127.0.0.1:${foreignPort}/`);
  const email = "foreign@example.org";
  const refused = await page.evaluate(attempts, { url, email });
  expect(refused.every((one) => one === "TypeError"), `a foreign page is answered: ${refused.join(", ")}`);
  const blocked = logged.filter((line) => line.includes("blocked by CORS policy"));
  expect(blocked.length === refused.length, `not for CORS: ${logged.join("; ")}`);
  const login = await fetch(`${url}/api/v1/auth/login`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ email, password: "twice round the lake" }),
  });
  expect(login.status === 401, "a foreign page has opened an account");
  console.log(`a foreign site: ${refused.length} of ${refused.length} refused`);
  await context.close();
}

async function round({ api, track }) {
  const steps = [];
  const headers = {};
  let token = null;

  async function step(name, method, path, { body, form, ...more } = {}) {
    const sent = { ...(token && { Authorization: `Bearer ${token}` }), ...more };
    if (body) sent["Content-Type"] = "application/json";
    const answer = await fetch(api + path, { method, headers: sent, body: form ?? (body && JSON.stringify(body)) });
    steps.push(`${name} ${answer.status}`);
    const text = await answer.text();
    return { answer, found: text && JSON.parse(text) };
  }

  const person = { email: "afar@example.org", password: "twice round the lake" };
  await step("register", "POST", "/auth/register", { body: person });
  token = (await step("login", "POST", "/auth/login", { body: person })).found.access_token;
  const form = new FormData();
  form.append("file", new File([track], "morning.gpx"));
  await step("import", "POST", "/activities/import", { form, "X-Request-ID": "from-afar" });
  const list = await step("list", "GET", "/activities?limit=5", { "If-None-Match": '"none"' });
  for (const name of ["ETag", "Link", "X-Cache", "X-Request-ID"]) headers[name] = list.answer.headers.get(name);
  const path = `/activities/${list.found.items[0].id}`;
  const patched = await step("patch", "PATCH", path, { body: { title: "From afar" }, "If-Match": '"1"' });
  headers["ETag of the patch"] = patched.answer.headers.get("ETag");
  await step("stale", "PATCH", path, { body: { title: "x" }, "If-Match": '"1"' });
  await step("delete", "DELETE", path);
  const gone = await step("gone", "GET", path);
  const undone = await step("undo", "POST", gone.found.restore.replace("/api/v1", ""));
  await step("limits", "GET", "/rate-limit");
  return { steps, headers, title: undone.found.title };
}

async function attempts({ url, email }) {
  const body = JSON.stringify({ email, password: "twice round the lake" });
  const json = { "Content-Type": "application/json" };
  const tried = [
    fetch(`${url}/health/live`),
    fetch(`${url}/api/v1/users/me`, { headers: { Authorization: "Bearer x" } }),
    fetch(`${url}/api/v1/auth/register`, { method: "POST", headers: json, body }),
    fetch(`${url}/api/v1/activities/1`, { method: "DELETE" }),
  ];
  return (await Promise.allSettled(tried)).map((one) => (one.status === "rejected" ? one.reason.name : "answered"));
}
