"""The gallery: pages for people, rendered over the use cases, that work without JavaScript and are better with it."""
