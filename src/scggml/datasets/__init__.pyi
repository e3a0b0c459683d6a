from ._cellxgene import breast_cancer as breast_cancer
from ._cellxgene import cellxgene as cellxgene
from ._cellxgene import covid19 as covid19
from ._cellxgene import kidney_disease as kidney_disease
from ._cellxgene import myocardial_infarction as myocardial_infarction
from ._kidney_igan import kidney_igan as kidney_igan
from ._synthetic import synthetic as synthetic
from ._synthetic_counts import synthetic_counts as synthetic_counts
