// Middleware as a Node service: it runs until it is told to end, takes exports as they come, hands in the files of the
// outbox and follows each message to its end. Node 18 or newer and its own fetch, no packages.
//
// It keeps everything that it has to remember in state.json, so that it may be ended at any moment. What it does not
// do: go through a proxy, which Node's fetch of that age cannot.

import { spawn } from "node:child_process";
import { createHash, randomUUID } from "node:crypto";
import { appendFile, readFile, readdir, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

const env = process.env;

async function main() {
  for (const signal of ["SIGTERM", "SIGINT"]) process.on(signal, () => process.exit(0));
  const connector = new Connector();
  const jobs = [];
  if (env.POPRECEIPT_EXPORT_ACTIVITY) jobs.push(exports(connector));
  if (env.POPRECEIPT_IMPORT_ACTIVITY) jobs.push(imports(connector));
  await Promise.all(jobs);
}

/** A failed call: its status, or null where no whole answer came. `lost` where it may have taken effect all the same. */
class Failed extends Error {
  constructor(what, status, lost) {
    super(`${what}: ${status ?? "no answer"}`);
    this.status = status;
    this.lost = lost;
  }

  get passing() {
    return this.status === null || [401, 403, 408, 429].includes(this.status) || this.status >= 500;
  }
}

/** The calls of the connector, with the token that they need, repeated where that is safe. */
class Connector {
  base = env.POPRECEIPT_BASE_URL.replace(/\/$/, "");
  patience = Number(env.POPRECEIPT_LEASE_SECONDS ?? 1800) * 500; // milliseconds that an answer may take
  #token = null;
  #expires = 0;
  #fetching = null;

  /** A call by the path below the base URL; its answer as { status, body }. */
  async call(path, { method = "GET", headers = {}, body, attempts = 4, patience = this.patience, safe = true } = {}) {
    let renewed = false;
    for (let attempt = 1; ; attempt += 1) {
      const token = await this.token();
      const answer = await send(this.base + path, patience, {
        method,
        headers: { ...headers, authorization: `Bearer ${token}` },
        body,
      });
      if (answer.whole && answer.status < 300) return answer;
      const failed = new Failed(`${method} ${path}`, answer.whole ? answer.status : null, isLost(answer));
      if (answer.status === 401 && !renewed) {
        renewed = true;
        if (this.#token === token) this.#token = null;
        continue;
      }
      const again = failed.passing && ![401, 403].includes(failed.status) && (safe || !failed.lost);
      if (!again || attempt >= attempts) throw failed;
      await sleep(pause(answer, attempt));
    }
  }

  post(path, value) {
    const headers = { "content-type": "application/json", accept: "application/json" };
    return this.call(path, { method: "POST", headers, body: JSON.stringify(value) });
  }

  /** The value that an OData action answers with. */
  async action(name, parameters) {
    const path = `/data/DataManagementDefinitionGroups/Microsoft.Dynamics.DataEntities.${name}`;
    return JSON.parse((await this.post(path, parameters)).body.toString()).value;
  }

  /** A token that lives for another minute; one request for all who wait for it. */
  async token() {
    if (this.#token && Date.now() < this.#expires - 60_000) return this.#token;
    this.#fetching ??= this.#fetch().finally(() => (this.#fetching = null));
    return this.#fetching;
  }

  async #fetch() {
    const form = new URLSearchParams({
      grant_type: "client_credentials",
      client_id: env.POPRECEIPT_CLIENT_ID,
      client_secret: env.POPRECEIPT_CLIENT_SECRET,
      scope: `${env.POPRECEIPT_RESOURCE.replace(/\/$/, "")}/.default`,
    });
    for (let attempt = 1; ; attempt += 1) {
      const answer = await send(env.POPRECEIPT_TOKEN_URL, this.patience, { method: "POST", body: form });
      if (answer.whole && answer.status < 300) {
        const said = JSON.parse(answer.body.toString());
        this.#token = said.access_token;
        this.#expires = Date.now() + Number(said.expires_in) * 1000;
        return this.#token;
      }
      const failed = new Failed("token", answer.whole ? answer.status : null, false);
      if (!failed.passing || [401, 403].includes(failed.status) || attempt >= 4) throw failed;
      await sleep(pause(answer, attempt));
    }
  }
}

/** One request and its whole answer; `whole` is false where none came. A redirect takes no token to another host. */
async function send(url, patience, request) {
  let answer = null;
  try {
    answer = await fetch(url, { ...request, redirect: "follow", signal: AbortSignal.timeout(patience) });
    const body = Buffer.from(await answer.arrayBuffer());
    return { whole: true, status: answer.status, headers: answer.headers, body };
  } catch (error) {
    const cause = error.cause?.code ?? error.name;
    if (UNTRUSTED.has(cause)) {
      console.error(`node.mjs: no trustworthy connection: ${cause}`);
      process.exit(1);
    }
    return { whole: false, status: null, headers: answer?.headers ?? new Headers(), cause };
  }
}

const UNTRUSTED = new Set([
  "SELF_SIGNED_CERT_IN_CHAIN",
  "DEPTH_ZERO_SELF_SIGNED_CERT",
  "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
  "UNABLE_TO_GET_ISSUER_CERT",
  "UNABLE_TO_GET_ISSUER_CERT_LOCALLY",
  "CERT_SIGNATURE_FAILURE",
  "CERT_HAS_EXPIRED",
  "ERR_TLS_CERT_ALTNAME_INVALID",
]);

/** Whether a request may have taken effect although its answer does not say so. */
function isLost(answer) {
  if (answer.whole) return [502, 504].includes(answer.status);
  return !["ECONNREFUSED", "ENOTFOUND", "EAI_AGAIN", "UND_ERR_CONNECT_TIMEOUT"].includes(answer.cause);
}

/** Milliseconds before the next attempt: as the answer asks, in seconds or by a date; else longer each time. */
function pause(answer, attempt) {
  const asked = answer.headers.get("retry-after");
  if (asked !== null && /^\d+$/.test(asked.trim())) return Number(asked) * 1000;
  const until = asked === null ? Number.NaN : Date.parse(asked) - Date.now();
  return until > 0 ? until + 1000 : 400 * 2 ** (attempt - 1);
}

/** Exports: take what waits, keep it, acknowledge it; then look again after a moment. */
async function exports(connector) {
  for (;;) {
    try {
      while (await takeOne(connector));
    } catch (error) {
      tell(error);
    }
    await sleep(1000);
  }
}

/** Take one message; false where none waits. One that cannot be kept is left alone: it comes again. */
async function takeOne(connector) {
  const activity = env.POPRECEIPT_EXPORT_ACTIVITY;
  const delivery = (await connector.call(`/api/connector/dequeue/${activity}`)).body;
  const said = delivery.toString().trim() ? JSON.parse(delivery.toString()) : null;
  if (!said) return false;
  try {
    if (said.DownloadLocation && said.IsDownLoadFileExist !== false) {
      // What the location says of scheme, host and port is of no account: the token goes to the connector alone.
      const { pathname, search } = new URL(said.DownloadLocation);
      const file = await connector.call(pathname + search, { patience: connector.patience * 3 });
      await keep(file.body);
    }
    await connector.call(`/api/connector/ack/${activity}`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: delivery,
    });
  } catch (error) {
    tell(error);
  }
  return true;
}

/** A file under the name of its content, so that it is there once however often it comes; whole or not at all. */
async function keep(file) {
  const digest = createHash("sha256").update(file).digest("hex");
  const half = join(env.POPRECEIPT_INBOX, `.${randomUUID()}.part`);
  await writeFile(half, file, { flush: true });
  await rename(half, join(env.POPRECEIPT_INBOX, `${digest}.${env.POPRECEIPT_EXPORT_TYPE ?? "package"}`));
}

const ENDED_WELL = new Set(["processed", "5"]);
const ENDED_BADLY = new Set([
  "processedwitherrors",
  "preprocessingerror",
  "preprocesserror",
  "postprocessingfailed",
  "postprocessingerror",
  "postprocesserror",
  ..."678",
]);
const ZERO = "00000000-0000-0000-0000-000000000000";

/** Imports: each file once, in the order of their names; the messages that were made of them to their end. */
async function imports(connector) {
  const state = await State.read();
  const patience = Number(env.POPRECEIPT_SECONDS ?? 86_400) * 750; // milliseconds until a message is given up
  for (;;) {
    for (const name of await waiting(state)) {
      if (!(await handIn(connector, state, name)) && env.POPRECEIPT_IN_ORDER === "1") break;
    }
    for (const [name, file] of Object.entries(state.files)) {
      if (file.outcome) continue;
      try {
        await follow(connector, state, name, file, patience);
      } catch (error) {
        tell(error);
      }
    }
    await sleep(1000);
  }
}

async function waiting(state) {
  const names = await readdir(env.POPRECEIPT_OUTBOX);
  return names.filter((name) => !name.startsWith(".") && !state.files[name]).sort();
}

/** Hand a file in; false where it has to be tried again. What may have been taken is never sent a second time. */
async function handIn(connector, state, name) {
  const entity = env.POPRECEIPT_IMPORT_TYPE === "package" ? "" : `?entity=${encodeURIComponent(env.POPRECEIPT_ENTITY)}`;
  const body = await readFile(join(env.POPRECEIPT_OUTBOX, name));
  state.files[name] = { id: null, since: Date.now(), tries: 0 };
  await state.write(); // should this process end in the middle, it is known that the file may have been sent
  try {
    const answer = await connector.call(`/api/connector/enqueue/${env.POPRECEIPT_IMPORT_ACTIVITY}${entity}`, {
      method: "POST",
      headers: { "content-type": "application/octet-stream", "x-ms-dyn-externalidentifier": encodeURIComponent(name) },
      body,
      safe: false,
    });
    const id = /[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/i.exec(answer.body.toString())?.[0];
    if (!id) return await state.finish(name, "uncertain");
    state.files[name].id = id.toLowerCase();
    await state.write();
  } catch (error) {
    tell(error);
    if (!(error instanceof Failed)) throw error;
    if (error.lost) return await state.finish(name, "uncertain");
    if (!error.passing) return await state.finish(name, "failed", [error.message]);
    delete state.files[name];
    await state.write();
    return false;
  }
  return true;
}

/** Ask what became of a message, once. */
async function follow(connector, state, name, file, patience) {
  if (file.id === null) return state.finish(name, "uncertain");
  const status = file.failed ?? String(await statusOf(connector, file.id)).toLowerCase();
  if (ENDED_WELL.has(status)) return state.finish(name, "processed");
  if (ENDED_BADLY.has(status)) {
    file.failed = status; // it will not change any more: from now on only the errors are asked for
    const errors = await errorsOf(connector, file.id);
    file.tries += 1;
    if (errors || file.tries >= 5) return state.finish(name, "failed", errors ?? []);
  } else if (Date.now() - file.since > patience) {
    return state.finish(name, "uncertain");
  }
  return state.write();
}

async function statusOf(connector, id) {
  try {
    return await connector.action("GetMessageStatus", { messageId: id });
  } catch (error) {
    if (error.status !== 404) throw error;
    // Before platform update 12 there was nothing else to ask.
    const answer = await connector.call(`/api/connector/jobstatus/${env.POPRECEIPT_IMPORT_ACTIVITY}?jobId=${id}`);
    return JSON.parse(answer.body.toString())?.DataJobStatus?.DataJobState;
  }
}

/** The errors of a failed message; null as long as its execution is not known. */
async function errorsOf(connector, id) {
  let execution;
  try {
    execution = await connector.action("GetExecutionIdByMessageId", { _messageId: id });
  } catch (error) {
    if (error.passing) throw error;
    return null;
  }
  if (!execution || execution.replace(/[{}]/g, "") === ZERO) return null;
  const said = await connector.action("GetExecutionErrors", { executionId: execution });
  if (Array.isArray(said)) return said.map((each) => each.ErrorMessage);
  try {
    return JSON.parse(said).map((each) => each.ErrorMessage);
  } catch {
    // Quotes and line breaks may stand in it as they are: a message ends where its record does.
    return [...String(said).matchAll(/"ErrorMessage"\s*:\s*"(.*?)"\s*}(?=\s*(?:,\s*{|]))/gs)].map((each) => each[1]);
  }
}

/** What became of each file, on disk before anything is built upon it. */
class State {
  static async read() {
    const state = new State();
    try {
      state.files = JSON.parse(await readFile("state.json", "utf8"));
    } catch (error) {
      if (error.code !== "ENOENT") throw error;
      state.files = {};
    }
    return state;
  }

  async write() {
    await writeFile("state.json.new", JSON.stringify(this.files), { flush: true });
    await rename("state.json.new", "state.json");
  }

  async finish(name, outcome, errors = []) {
    const { id } = this.files[name];
    this.files[name].outcome = outcome;
    await this.write();
    const line = JSON.stringify({ file: name, messageId: id, outcome, errors });
    if (env.POPRECEIPT_REPORT) await appendFile(env.POPRECEIPT_REPORT, `${line}\n`);
    return true;
  }
}

function tell(error) {
  console.error(`node.mjs: ${error.message}`);
}

// Node learns further authorities from one variable only, and only when it starts.
if (env.POPRECEIPT_CA_FILE && env.NODE_EXTRA_CA_CERTS !== env.POPRECEIPT_CA_FILE) {
  const again = spawn(process.execPath, process.argv.slice(1), {
    stdio: "inherit",
    env: { ...env, NODE_EXTRA_CA_CERTS: env.POPRECEIPT_CA_FILE },
  });
  for (const signal of ["SIGTERM", "SIGINT", "SIGBREAK"]) {
    if (process.platform === "win32" || signal !== "SIGBREAK") process.on(signal, () => again.kill(signal));
  }
  again.on("exit", (status) => process.exit(status ?? 0));
} else {
  await main();
}
