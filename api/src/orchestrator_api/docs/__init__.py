"""What this API says about itself: the OpenAPI document and the page that shows it."""
