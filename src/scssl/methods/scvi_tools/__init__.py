"""Models of scvi-tools, trained by scvi-tools itself: same seed, same bits.

A model goes through four forms. :data:`~.table.TOOLS` describes it; :func:`~.train.fit` trains it on a shell around the
cells; a :class:`~.state.State` is all that is kept (tensors and plain values, no pickle); :class:`~.state.Fitted`, made
of a state alone, embeds and decodes. A model that was loaded and one that was just trained are thus the same thing.
"""
