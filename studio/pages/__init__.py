"""The screens: one module each, with one `build(blocks, studio)`."""
