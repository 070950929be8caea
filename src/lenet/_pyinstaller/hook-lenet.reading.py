"""Add Pillow and OpenCV, which `lenet.reading` imports lazily."""

hiddenimports = ["PIL.Image", "PIL.ImageDraw", "PIL.ImageFont", "PIL.PngImagePlugin", "cv2"]
