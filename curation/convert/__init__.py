"""Conversions: from a trace to another trace that says the same in another grain or form.

A converted trace is a new row with `parent_id`; its source is never touched. Without a model: `merge`
and `split` change the number of steps, layouts change the form, padding changes the length. With a
teacher: any level, any format. What became of a conversion is judged by the pass `guards`.
"""
