"""The data management framework behind the connector: entities, files, packages, executions."""
