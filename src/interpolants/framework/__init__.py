"""The framework of methods: what is fitted, what it reads, what it can be asked, how it is stored and judged."""
