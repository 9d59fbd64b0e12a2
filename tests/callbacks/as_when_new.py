"""A model for several tests, traced only once."""


def as_when_new(model):
    """Gives a function that makes a compiled model what it is now."""
    model.optimizer.build(model.trainable_variables)
    # Those that dropout draws from are among them.
    variables = [
        (variable, variable.numpy())
        for variable in (*model.variables, *model.optimizer.variables)
    ]

    def new_model():
        for variable, value in variables:
            variable.assign(value)
        return model

    return new_model
