"""`minipar bench --sweep`: some 240 small models beside PyTorch, to see that no shape is slow.

``cases``    the models, drawn by a fixed seed
``worker``   the process of one library, which builds and times one case after another
``command``  the run, its statistics and its report
"""
