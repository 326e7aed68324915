"""Methods: one small file each, the file is named like the method."""
