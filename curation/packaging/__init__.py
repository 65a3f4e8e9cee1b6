"""A decision becomes a dataset on disk: rows, layout, lineage, exports."""
