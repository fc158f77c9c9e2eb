import createClient, { type Client } from "openapi-fetch";

import type { components, paths } from "./schema.js";

export type Schemas = components["schemas"];

/** The client of a listener: `createGatewayClient("http://127.0.0.1:8480")`. */
export function createGatewayClient(baseUrl: string, operatorToken?: string): Client<paths> {
  const headers = operatorToken === undefined ? {} : { authorization: `Bearer ${operatorToken}` };
  return createClient<paths>({ baseUrl, headers });
}

/** Exchanges one sealed record for its sealed answer; an empty answer follows a close record. */
export async function exchangeRecord(
  client: Client<paths>,
  sessionId: string,
  record: Uint8Array<ArrayBuffer>,
): Promise<Uint8Array | Schemas["Problem"]> {
  const { data, error } = await client.POST("/v1/sessions/{session_id}/messages", {
    params: { path: { session_id: sessionId } },
    // The description calls bytes a binary string; they leave as they are.
    body: record as unknown as string,
    bodySerializer: (bytes) => bytes as unknown as Uint8Array<ArrayBuffer>,
    headers: { "content-type": "application/sage-record" },
    parseAs: "arrayBuffer",
  });
  return error ?? new Uint8Array(data ?? new ArrayBuffer(0));
}
