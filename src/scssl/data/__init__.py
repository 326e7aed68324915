"""Cells out of AnnData, MuData and files: the only room that knows these apart."""
