"""MuJoCo environments stepped without Gymnasium's wrappers and info dictionaries, bit for bit equal to it."""
