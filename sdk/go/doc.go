// Package sage is the client of a SAGE gateway's HTTP API, generated from api/openapi.yaml by
// `make clients`. It carries messages; what is in them is made elsewhere.
package sage
