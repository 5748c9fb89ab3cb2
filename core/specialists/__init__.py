"""A generalist and its specialists (1503.02531, section 5), to a combined distribution that one network can be distilled from.

    clusters    classes that the generalist confuses: k-means on the columns of the covariance of its predictions
    heads       a head for a specialist's classes and the dustbin, made of the generalist's
    sampling    batches of which half is special, and the exact correction of the prior that they change
    combining   the distribution that agrees best with the generalist and the relevant specialists: a monotone fixed point
    training    a specialist from the generalist, with early stopping or with soft targets for the other classes
    panel       generalist and specialists together: opinions, the combined answer, saved and loaded as one folder
    opinions    what a panel says of items, as plain data
    networks    the data set as items, and new networks that read it
    measuring   conditional and overall accuracy, and accuracy by how many specialists cover the right class

No public implementation was found to compare with; where the paper is silent, the docstrings say what was chosen.
"""
