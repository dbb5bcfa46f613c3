"""What was measured, shown to people: tables, Markdown, and one HTML file that needs nothing else.

Everything here is pure: from records and comparisons to text. A report can be made a year later, on another machine.
"""
