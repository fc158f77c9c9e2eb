// Asks a gateway what needs no keys: node dist/smoke.js http://127.0.0.1:8480
import { createGatewayClient, exchangeRecord } from "./client.js";

declare const process: { argv: string[]; exitCode: number };

function expect(what: string, holds: boolean): void {
  console.log(`${holds ? "ok" : "WRONG"} ${what}`);
  if (!holds) {
    process.exitCode = 1;
  }
}

const url = process.argv[2];
if (url === undefined) {
  throw new Error("usage: node dist/smoke.js URL");
}
const client = createGatewayClient(url);

const { data: identity } = await client.GET("/v1/identity");
expect("identity", identity?.version === 1 && identity.keys[0]?.did === identity.dids[0]);

// The second test vector of RFC 8032, section 7.1.
const check = {
  public_key: "PUAXw-hDiVqStwqnTRt-vJyYLM8uxJaMwM1V8Sr0Zgw",
  message: "cg",
  signature: "kqAJqfDUyrhyDoILX2QlQKKye1QWUD-Ps3YiI-vbadoIWsHkPhWZbkWPNhPQ8R2MOHsurrQwKu6wDSkWErsMAA",
};
const { data: one } = await client.POST("/v1/signatures/verify", { body: check });
expect("signature", one?.valid === true);
const { data: many } = await client.POST("/v1/signatures/verify-batch", {
  body: { items: [check, { ...check, message: "cw" }] },
});
expect("signatures", JSON.stringify(many?.valid) === "[true,false]");

const unknown = "00000000-0000-0000-0000-000000000000";
const refused = await exchangeRecord(client, unknown, new Uint8Array(63));
expect("problem", "status" in refused && refused.type === "urn:sage:problem:malformed_request");
