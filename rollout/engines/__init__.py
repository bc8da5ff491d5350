"""What samples tokens: the embedded engine and vLLM, behind one protocol."""
