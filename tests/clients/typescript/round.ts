// A round of an account with types generated from the document: node round.js http://127.0.0.1:8000
import createClient from "openapi-fetch";
import type { components, paths } from "./fitness.js";

type Activity = components["schemas"]["Activity"];

function given<T>(value: T | undefined, what: string): T {
  if (value === undefined) throw new Error(`no ${what}`);
  return value;
}

function expect(holds: boolean, what: string): void {
  if (!holds) throw new Error(what);
}

const baseUrl = given(process.argv[2], "address");
const person = { email: "typescript@example.org", password: "twice round the lake", timezone: "Europe/Paris" };

const anonymous = createClient<paths>({ baseUrl });
expect((await anonymous.POST("/api/v1/auth/register", { body: person })).response.status === 201, "register");
const login = await anonymous.POST("/api/v1/auth/login", { body: { email: person.email, password: person.password } });
const token = given(login.data, "tokens").access_token;
const api = createClient<paths>({ baseUrl, headers: { Authorization: `Bearer ${token}` } });

const created = await api.POST("/api/v1/activities", {
  params: { header: { "Idempotency-Key": "round-1" } },
  body: { activity_type: "run", activity_date: "2026-05-01T08:00:00+02:00", duration_minutes: 42.5, distance_km: 9.1 },
});
const made: Activity = given(created.data, "activity");
const path = { activity_id: made.id };

const listed = await api.GET("/api/v1/activities", { params: { query: { type: ["run"], limit: 5 } } });
expect(given(listed.data, "list").items[0]?.id === made.id, "list");

const got = await api.GET("/api/v1/activities/{activity_id}", { params: { path } });
expect(given(got.data, "activity").distance_km === 9.1, "get");

const changed = await api.PATCH("/api/v1/activities/{activity_id}", {
  params: { path, header: { "If-Match": given(got.response.headers.get("etag") ?? undefined, "etag") } },
  body: { title: "Twice", distance_km: null },
});
expect(given(changed.data, "change").version === 2, "patch");

const stale = await api.PATCH("/api/v1/activities/{activity_id}", {
  params: { path, header: { "If-Match": '"1"' } },
  body: { title: "x" },
});
expect(given(stale.error, "refusal").code === "version_mismatch", "412");

expect((await api.DELETE("/api/v1/activities/{activity_id}", { params: { path } })).response.status === 204, "delete");
const gone = await api.GET("/api/v1/activities/{activity_id}", { params: { path } });
expect(gone.response.status === 410 && gone.error?.restore !== undefined, "410");
const restored = await api.POST("/api/v1/activities/{activity_id}/restore", { params: { path } });
expect(given(restored.data, "restored").deleted_at === null, "restore");
