"""The API told: /openapi.json (OpenAPI 3.1) and /docs, made of tables of routes.

`words` has the words of the tables; `relay`, `accounts`, `payments`, `operator` and `unguarded` the routes; `document`
puts them together. A test holds the tables against the routes that there are.
"""
