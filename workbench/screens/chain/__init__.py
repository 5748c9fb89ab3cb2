"""The Chain page: anchors and their lineage, any size between them, what it costs, and the form that builds one."""
