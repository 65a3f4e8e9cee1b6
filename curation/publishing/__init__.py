"""From a dataset on disk to the Hugging Face Hub and back: plan, push, verify, compare."""
