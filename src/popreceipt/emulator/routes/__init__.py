"""From requests to responses: the connector, the OData actions, the blobs behind a redirect, and the control plane."""
