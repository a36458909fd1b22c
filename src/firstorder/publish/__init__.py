"""From records to what people read: tables, figures, claims, the manifest and the paper."""
