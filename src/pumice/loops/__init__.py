"""Level-triggered repair: each loop looks at what is and at what should be, and brings the two together.

Every loop may run anywhere, twice, and after any crash. None is needed for an operation to end well; they keep
facts fresh and repair what something outside of Pumice broke.
"""
