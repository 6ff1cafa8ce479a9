"""An HTTP/1.1 server for one ASGI application: connections with deadlines, and worker processes."""
