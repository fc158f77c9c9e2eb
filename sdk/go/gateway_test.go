package sage

import (
	"bytes"
	"context"
	"net/http"
	"os"
	"testing"
)

// Needs a gateway: SAGE_GATEWAY_URL=http://127.0.0.1:8480 go test ./...
func gateway(t *testing.T) *ClientWithResponses {
	t.Helper()
	url := os.Getenv("SAGE_GATEWAY_URL")
	if url == "" {
		t.Skip("SAGE_GATEWAY_URL is not set")
	}
	client, err := NewClientWithResponses(url)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func TestIdentity(t *testing.T) {
	answer, err := gateway(t).ReadIdentityWithResponse(context.Background())
	if err != nil || answer.JSON200 == nil {
		t.Fatal(err, answer)
	}
	identity := answer.JSON200
	if identity.Version != 1 || identity.Limits.MaxHandshakeLen != 16384 {
		t.Errorf("unexpected identity: %+v", identity)
	}
	if len(identity.Keys) == 0 || identity.Keys[0].Did != identity.Dids[0] {
		t.Errorf("the announced key belongs to no DID: %+v", identity)
	}
}

// The second test vector of RFC 8032, section 7.1.
func TestSignature(t *testing.T) {
	check := SignatureCheck{
		PublicKey: "PUAXw-hDiVqStwqnTRt-vJyYLM8uxJaMwM1V8Sr0Zgw",
		Message:   "cg",
		Signature: "kqAJqfDUyrhyDoILX2QlQKKye1QWUD-Ps3YiI-vbadoIWsHkPhWZbkWPNhPQ8R2MOHsurrQwKu6wDSkWErsMAA",
	}
	for message, valid := range map[string]bool{"cg": true, "cw": false} {
		check.Message = message
		answer, err := gateway(t).VerifySignatureWithResponse(context.Background(), check)
		if err != nil || answer.JSON200 == nil {
			t.Fatal(err, answer)
		}
		if answer.JSON200.Valid != valid {
			t.Errorf("message %q: %v", message, answer.JSON200.Valid)
		}
	}
}

func TestProblem(t *testing.T) {
	record := bytes.NewReader(make([]byte, 63))
	answer, err := gateway(t).SendRecordWithBodyWithResponse(
		context.Background(), "00000000-0000-0000-0000-000000000000", "application/sage-record", record)
	if err != nil || answer.StatusCode() != http.StatusBadRequest {
		t.Fatal(err, answer)
	}
	if problem := answer.ApplicationProblemJSON400; problem == nil || problem.Status != 400 {
		t.Errorf("unexpected problem: %s", answer.Body)
	}
}
