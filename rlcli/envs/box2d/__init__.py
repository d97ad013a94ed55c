"""Box2D environments that rlcli steps itself, equal to Gymnasium's bit for bit."""
