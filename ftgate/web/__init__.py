"""WHAT A PERSON SEES, and the routes of the API that make no calls: the site (a Quart app), and one module a subject
under api/. Nothing here owns money."""
