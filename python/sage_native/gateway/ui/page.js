// The admin listener serves this page and its own operations under whatever name it was asked by.
const DOCUMENTED_ADMIN = "http://127.0.0.1:8481";

function toThisListener(request) {
  if (request.url.startsWith(DOCUMENTED_ADMIN)) {
    request.url = window.location.origin + request.url.slice(DOCUMENTED_ADMIN.length);
  }
  return request;
}

SwaggerUIBundle({
  url: "openapi.yaml",
  dom_id: "#swagger-ui",
  deepLinking: true,
  validatorUrl: null,
  requestInterceptor: toThisListener,
});
