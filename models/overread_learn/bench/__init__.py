"""Benches: each is a module to run, prints a table and writes JSON that another machine's can be laid beside."""
