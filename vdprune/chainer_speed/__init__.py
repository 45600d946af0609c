"""Parts of Chainer, faster on the CPU; `vdprune.chainer_compat` puts them in their place."""
