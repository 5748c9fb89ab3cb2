"""What the server does with every request before it reaches a page: headers, origins, proxies, limits. It knows no page."""
