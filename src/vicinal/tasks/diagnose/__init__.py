"""The diagnosis of a data set by its neighbours, and the agreement of two columns of labels.

diagnose       : the public function, and its phases
diagnosis      : its result
vector_figures : figures and warnings of the embeddings
label_figures  : figures and warnings of the labels
tables         : likely label errors and boundary pairs as tables, and the whole diagnosis as JSON
page           : the diagnosis as text and as HTML
kappa          : the public function for Cohen's kappa
matching       : labels of two files or columns, matched by id
"""
